"""One parser under libFuzzer: `python -m tests.fuzz.target NAME SECONDS FOLDER`. For Linux."""

import os
import sys
import warnings
from pathlib import Path

assert sys.platform == "linux"

os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # the others set memory aside beforehand

import resource  # noqa: E402

import atheris  # noqa: E402

with atheris.instrument_imports(include=["formats", "seed", "importer"]):
    from formats.errors import CODES, OffseedError
    from tests.formats.test_spec import RULES
    from tests.parsers import PARSERS, TYPED

LENGTH_MAX = 1 << 20
MORE_MAX = 64 << 20  # of memory, beyond the input
SECONDS_MAX = 1


def main() -> None:
    name, seconds, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    warnings.simplefilter("ignore")
    whole, parse = {**PARSERS, **TYPED}[name]
    parse(whole)

    def once(data: bytes) -> None:
        try:
            parse(data)
        except OffseedError as error:
            assert error.code in CODES or error.code in RULES, error.code
            assert error.what

    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    (corpus / "whole").write_bytes(whole)
    options = {
        "max_total_time": seconds,
        "max_len": str(max(4096, min(LENGTH_MAX, 4 * len(whole)))),
        "timeout": str(SECONDS_MAX),
        "print_final_stats": "1",
        "artifact_prefix": f"{folder}/",
    }
    atheris.Setup(["fuzz", *(f"-{key}={value}" for key, value in options.items()), str(corpus)], once)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    # The limit adds room for libFuzzer's own memory: it must catch a parser that asks for gigabytes.
    limit = used + MORE_MAX + LENGTH_MAX + (256 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
