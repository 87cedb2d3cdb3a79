"""The refusals that a worker, or the watch over it, may end in, and what to do about each.

The supervisor writes the shape of the dataset's images between the braces.
"""

REMEDIES = {
    "REPRESENTATION-LOAD": "Export it anew and load it once yourself before handing it in",
    "REPRESENTATION-MODULE": "Install that module here, or pickle its code by value",
    "REPRESENTATION-SIGNATURE": "Save it with a signature 'representation' of one input 'images'",
    "REPRESENTATION-RAISES": "It must take float images (n, {channels_first}) in [0, 1] "
    "(TensorFlow: (n, {channels_last})) for any n",
    "REPRESENTATION-FORBIDDEN": "Keep all that it needs in its own file: a representation can read "
    "no other, may not write outside its temporary folder, and may not open sockets, hold shared "
    "memory or look into other processes",
    "REPRESENTATION-SHAPE": "Return one row of numbers for each image, (n, dims), "
    "or of tokens, (n, tokens, width)",
    "REPRESENTATION-SPARSE": "Return a dense tensor: add .to_dense() to what forward returns",
    "REPRESENTATION-GRAD": "Return a tensor without gradient: add .detach() to what forward "
    "returns, and switch no gradients on in it",
    "REPRESENTATION-DTYPE": "Convert the codes to one of these",
    "REPRESENTATION-DIMS": "The metrics compare dims, or tokens, so return 2 or more; --max-dims "
    "raises the other end",
    "REPRESENTATION-SLOW": "Make it faster, or raise --max-answer-seconds or --max-load-seconds",
    "REPRESENTATION-TIME": "Make it faster, or raise --max-total-seconds",
    "REPRESENTATION-CPU": "Make it smaller, or raise --max-cpu-seconds",
    "REPRESENTATION-MEMORY": "Make it smaller, or raise --max-memory-gib",
    "REPRESENTATION-PROCESSES": "Start fewer, or raise --max-processes or --max-threads",
    "REPRESENTATION-DIED": "Load and run it once yourself to see why",
}


class RefusalError(Exception):
    """A problem with the representation, found by the worker: a code of REMEDIES, and words."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(code, problem)
        self.code = code
        self.problem = problem
