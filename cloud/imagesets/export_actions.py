"""The ``export`` and ``prove`` subcommands: the way back to DICOM files, and what was sent against what is held."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from pydicom.uid import UID

from cloud.errors import SendFault
from cloud.imagesets.actions import each_set, open_workflow
from cloud.imagesets.bars import bar
from cloud.imagesets.export import Exported, export_image_set
from cloud.imagesets.folder import dicom_files
from cloud.imagesets.part10 import ExportSyntax, load_uids
from cloud.imagesets.proof import prove_series
from cloud.imagesets.send import Destination, send_files


def export(arguments: argparse.Namespace) -> int:
    """Write, prove, and with ``--to`` send; 1 if a file was not stored by the receiver."""
    to = Destination.parse(arguments.to) if arguments.to else None  # told before anything is fetched
    originals = _originals(arguments.against) if arguments.against else {}
    workflow = open_workflow(arguments)
    written: list[Exported] = []
    sets = each_set(workflow, arguments)
    with bar("exporting", None, "frames") as (advance, _):
        for datastore_id, image_set_id in sets:
            written += export_image_set(
                workflow.service,
                datastore_id,
                image_set_id,
                arguments.output,
                syntax=ExportSyntax(arguments.syntax),
                threads=workflow.settings.IMAGE_SET_THREADS,
                originals=originals,
                advance=advance,
            )
    compared = sum(file.was_compared for file in written)
    frames = sum(file.frames for file in written)
    print(f"{len(written)} DICOM files were written, {frames} frames, each equal to its checksum in the metadata.")
    if arguments.against:
        print(f"{compared} of them have the pixels of the files that were sent.")
        if compared < len(written):
            print(f"  {len(written) - compared} have no counterpart under {arguments.against}", file=sys.stderr)
    for folder in sorted({file.path.parent for file in written}):
        print(f"The files are located in the directory '{folder}'.")
    if to is not None:
        _send(written, to, arguments.calling)
    return 1 if arguments.against and compared < len(written) else 0


def prove(arguments: argparse.Namespace) -> int:
    """Compare what is held with what was sent; 1 if an instance or a pixel differs."""
    files = [path for path, _ in dicom_files(arguments.against)]
    workflow = open_workflow(arguments)
    sets = each_set(workflow, arguments)
    datastore_id = sets[0][0] if sets else ""
    proofs = prove_series(
        workflow.service,
        datastore_id,
        [image_set_id for _, image_set_id in sets],
        files,
        threads=workflow.settings.IMAGE_SET_THREADS,
    )
    every: Counter[str] = Counter()
    for proof in proofs:
        every.update(proof.syntaxes)
        syntaxes = ", ".join(sorted(map(_named, proof.syntaxes)))
        print(f"series {proof.series_instance_uid}")
        print(f"  {proof.sent} sent in {syntaxes}: {proof.returned} back, pixels of {proof.frames} frames equal")
        for fault in proof.faults[:20]:
            print(f"  NOT equal: {fault}")
    whole = sum(proof.is_whole for proof in proofs)
    print(f"{whole} of {len(proofs)} series came back whole, with the pixels that were sent.")
    sent = ", ".join(f"{_named(syntax)} {count}" for syntax, count in every.most_common())
    print(f"frames equal: {sum(proof.frames for proof in proofs)}; instances by transfer syntax: {sent or 'none'}")
    return 0 if whole == len(proofs) else 1


def _named(syntax: str) -> str:
    return UID(syntax).name


def _send(written: list[Exported], to: Destination, calling: str) -> None:
    results = []
    with bar("sending", len(written), "files") as (advance, _):
        for sent in send_files([file.path for file in written], to, calling=calling):
            results.append(sent)
            advance(1)
    stored = sum(sent.is_stored for sent in results)
    print(f"{stored} of {len(results)} files were stored by {to.title}@{to.host}:{to.port}.")
    missed = [sent for sent in results if not sent.is_stored]
    if missed:
        lines = [f"  {sent.path.name}: {sent.fault}" for sent in missed[:20]]
        raise SendFault(
            "\n".join([f"{len(missed)} files were not stored:", *lines]),
            hint="a receiver that does not take HTJ2K takes --syntax explicit; what is stored may be sent again",
        )


def _originals(folder: Path) -> dict[str, Path]:
    return {load_uids(path)[0]: path for path, _ in dicom_files(folder)}
