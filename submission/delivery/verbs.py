"""The verbs that bundle, check, package, submit and publish a representation."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from evaluation.common import environment
from evaluation.common.environment import checkout
from evaluation.common.files import readable_size, sha256_of
from evaluation.common.terminal import console
from submission.delivery import bundle, checks, submitting


def add_verbs(verbs: argparse._SubParsersAction) -> None:
    """Adds these verbs to the command line."""
    parser = _add_verb(
        verbs, "bundle", _bundle, "put an exported representation into the submission, or verify it"
    )
    parser.add_argument(
        "experiment",
        nargs="?",
        metavar="EXPERIMENT",
        help="name of the experiment's folder in $AICROWD_OUTPUT_PATH; without it, the bundle is "
        "only compared with its manifest",
    )
    _add_verb(verbs, "deliver", _deliver, "copy the bundle to where the evaluator looks for it")
    parser = _add_verb(verbs, "check", _check, "list all problems that prevent a submission")
    parser.add_argument("--json", action="store_true", help="print JSON for other programs")
    _add_destination(parser)
    parser = _add_verb(
        verbs, "package", _package, "write the submission to one archive, and print its SHA-256"
    )
    parser.add_argument(
        "archive",
        nargs="?",
        type=Path,
        default=environment.SCRATCH / "submission.tar.gz",
        metavar="FILE",
        help="a tar.gz; the same content gives the same bytes",
    )
    parser = _add_verb(verbs, "submit", _submit, "check, commit the bundle, tag, and push")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the git commands without running them"
    )
    _add_destination(parser)
    parser = _add_verb(
        verbs, "card", _card, "write a model card for the Hugging Face Hub beside an export"
    )
    _add_experiment(parser)
    parser = _add_verb(
        verbs, "publish", _publish, "push an export with its card to the Hugging Face Hub"
    )
    _add_experiment(parser)
    parser.add_argument(
        "--repo",
        required=True,
        default=argparse.SUPPRESS,
        metavar="OWNER/NAME",
        help="a model repository; made if missing",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="list the files without sending them"
    )


def _add_verb(
    verbs: argparse._SubParsersAction,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "experiment",
        metavar="EXPERIMENT",
        help="name of the experiment's folder in $AICROWD_OUTPUT_PATH",
    )


def _add_destination(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tag", default=submitting.TAG, help="must begin with 'submission-'")
    parser.add_argument(
        "--remote", default=submitting.REMOTE, help="git's name for AIcrowd's repository"
    )


def _bundle(arguments: argparse.Namespace) -> int:
    root = checkout()
    if arguments.experiment:
        bundle.make(root, arguments.experiment)
    for name, digest in bundle.verify(root).items():
        path = root / bundle.FOLDER / name
        size = readable_size(path.stat().st_size)
        console.print(f"Bundled {path} ({size}, SHA-256 {digest})", markup=False)
    console.print("Next: .venv/bin/python -m submission check")
    return 0


def _deliver(arguments: argparse.Namespace) -> int:  # noqa: ARG001
    console.print(f"The bundled representation is now in {bundle.deliver(checkout())}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    report = checks.check(checkout(), arguments.tag, arguments.remote)
    if arguments.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        report.show()
    return report.status


def _package(arguments: argparse.Namespace) -> int:
    from submission.delivery.packaging import package

    package(checkout(), arguments.archive)
    size = readable_size(arguments.archive.stat().st_size)
    digest = sha256_of(arguments.archive)
    console.print(f"Packaged {arguments.archive} ({size}, SHA-256 {digest})", markup=False)
    return 0


def _submit(arguments: argparse.Namespace) -> int:
    return submitting.submit(checkout(), arguments.tag, arguments.remote, arguments.dry_run)


def _card(arguments: argparse.Namespace) -> int:
    from submission.delivery import card

    console.print(f"Wrote {card.make(arguments.experiment)}", markup=False)
    return 0


def _publish(arguments: argparse.Namespace) -> int:
    from submission.delivery.publishing import publish

    publish(arguments.experiment, arguments.repo, dry_run=arguments.dry_run)
    return 0
