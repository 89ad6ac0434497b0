"""Takes today's contracts as released: later ones are held against them for breaking changes."""

from pathlib import Path

from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Writes `protos/released.binpb`: the descriptors without comments, which cannot break anybody."""
    files = descriptor_pb2.FileDescriptorSet.FromString((ROOT / "gen" / "contract.binpb").read_bytes())
    for file in files.file:
        file.ClearField("source_code_info")
    (ROOT / "protos" / "released.binpb").write_bytes(files.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
