"""Generates the Python stubs of the contracts in `protos/` into `gen/`, an import root of its own.

`gen/` is not committed: stubs refuse to run with an older grpcio than the one that generated them, so they are made
where they are used, from the pinned tools. Beside the stubs it writes `gen/contract.binpb`, the contracts as one
descriptor set with comments: lint, the check for breaking changes, and the gateway's OpenAPI document read that.
"""

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GEN = ROOT / "gen"

VALIDATE_PROTO = "buf/validate/validate.proto"
"""The field rules' own contract. No wheel ships its source, but protovalidate carries its descriptor."""

TYPED = importlib.util.find_spec("mypy_protobuf") is not None
"""Type stubs are for development; an image that only runs does without the plugin."""


def main() -> None:
    """Generates everything anew and puts `gen/` on the path of the running interpreter's environment."""
    shutil.rmtree(GEN, ignore_errors=True)
    GEN.mkdir()
    contracts = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        known = Path(folder) / "known.binpb"
        known.write_bytes(_known_descriptors())
        _protoc(known, [*contracts, VALIDATE_PROTO])
    _put_on_path()
    print(f"generated stubs of {len(contracts)} contracts in {GEN.relative_to(ROOT)}/")


def _known_descriptors() -> bytes:
    """The descriptors that our contracts import and that exist only inside wheels."""
    from google.api import annotations_pb2, http_pb2
    from google.protobuf import any_pb2, duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2
    from google.protobuf import descriptor_pb2 as descriptors
    from google.rpc import status_pb2

    files = descriptor_pb2.FileDescriptorSet()
    google = (any_pb2, descriptors, duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2)
    for module in (*google, http_pb2, annotations_pb2, status_pb2):
        files.file.add().ParseFromString(module.DESCRIPTOR.serialized_pb)
    files.file.add().ParseFromString(validate_pb._DESC.proto.to_binary())
    return files.SerializeToString()


def _protoc(known: Path, files: list[str]) -> None:
    outputs = [f"--python_out={GEN}", f"--grpc_python_out={GEN}"]
    if TYPED:
        scripts = Path(sysconfig.get_path("scripts"))
        outputs += [
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            f"--mypy_out=quiet:{GEN}",
            f"--mypy_grpc_out=quiet:{GEN}",
        ]
    command = [
        sys.executable, "-m", "grpc_tools.protoc",
        f"--descriptor_set_in={known}",
        f"--proto_path={PROTOS}",
        *outputs,
        f"--descriptor_set_out={GEN / 'contract.binpb'}",
        "--include_imports",
        "--include_source_info",
        *files,
    ]  # fmt: skip
    if subprocess.run(command).returncode != 0:
        raise SystemExit("the contracts in protos/ do not compile: see above")


def _put_on_path() -> None:
    """A .pth file: the stubs' import root is found by every program of this environment, with no PYTHONPATH to set."""
    packages = Path(sysconfig.get_path("purelib"))
    (packages / "leadscore-gen.pth").write_text(f"{GEN}\n")


if __name__ == "__main__":
    main()
