"""What TorchScript may not do, told by its code and by what it returns. Runs in the worker only."""

from collections.abc import Iterator
from typing import Any

import torch

from evaluation.representation.refusals import RefusalError

_FILE_OPERATIONS = ("aten::save", "aten::from_file", "debugprims::load_tensor")
_BESIDE = "Subgraph"


def refuse_files(module: torch.jit.ScriptModule) -> None:
    """Refuses a module with code that writes or reads a file.

    Its files would outlive a call, and where one cannot be written TorchScript says nothing.

    Raises:
        RefusalError: REPRESENTATION-FORBIDDEN.
    """
    for part in module.modules():
        compiled: Any = part
        for name in compiled._c._method_names():
            for operation in _operations(compiled._c._get_method(name).inlined_graph):
                if operation in _FILE_OPERATIONS:
                    problem = f"works on a file in {name} ({operation})"
                    raise RefusalError("REPRESENTATION-FORBIDDEN", problem)


def _operations(graph: Any) -> Iterator[str]:
    """Kinds of all operations in a graph or block, also in what is run beside it (`fork`)."""
    for node in graph.nodes():
        yield node.kind()
        for block in node.blocks():
            yield from _operations(block)
        if node.hasAttribute(_BESIDE):
            beside = node.g(_BESIDE).copy()
            torch._C._jit_pass_inline(beside)
            yield from _operations(beside)


def refuse_other_than_dense(codes: object) -> None:
    """Refuses codes that have no plain array of numbers.

    Raises:
        RefusalError: they are no tensor, or a sparse one, or one that requires a gradient.
    """
    if not isinstance(codes, torch.Tensor):
        raise RefusalError("REPRESENTATION-SHAPE", f"returns a {type(codes).__name__}, no tensor")
    if codes.layout != torch.strided:
        problem = f"returns a tensor of layout {codes.layout}"
        raise RefusalError("REPRESENTATION-SPARSE", problem)
    if codes.requires_grad:
        raise RefusalError("REPRESENTATION-GRAD", "returns a tensor that requires a gradient")
