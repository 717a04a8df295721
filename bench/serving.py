"""Serves an export from C, without Python, and measures it.

python bench/serving.py RUN/export/1 recommend '{"user_id": ["1"], "k": 10, "exclude_ids": [[""]]}'
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtkit.backend import tf

SOURCE = Path(__file__).with_name("serve_c_api.c")
TYPES = {"string": "s", "float32": "f", "int32": "i"}


def compile_client(directory: Path) -> Path:
    """Compiles the C program against the libraries of the installed TensorFlow."""
    libraries = Path(tf.sysconfig.get_lib())
    program = directory / SOURCE.stem
    linked = [str(libraries / name) for name in ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")]
    options = ["-O2", "-Wall", "-Werror", f"-I{tf.sysconfig.get_include()}", f"-Wl,-rpath,{libraries}"]
    subprocess.run(["gcc", str(SOURCE), "-o", str(program), *options, *linked], check=True)
    return program


def serve(
    program: Path, version: Path, signature: str, inputs: Mapping[str, Any], repeats: int = 0
) -> tuple[dict[str, list[Any]], str]:
    """Asks a signature from C: output -> flat list of values, and what the program says of its speed."""
    tensors = json.loads((version / "signatures.json").read_text("utf-8"))["signatures"][signature]
    command = [str(program), str(version), str(repeats)]
    for name, value in inputs.items():
        known, array = tensors["inputs"][name], np.array(value, object)
        values = ",".join(str(v).replace("\\", "\\\\").replace(",", "\\,") for v in array.ravel())
        command += ["-i", known["tensor"], TYPES[known["dtype"]], ",".join(map(str, array.shape)), values]
    for known in tensors["outputs"].values():
        command += ["-o", known["tensor"]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = zip(tensors["outputs"], done.stdout.splitlines(), strict=True)
    return {name: json.loads(line) for name, line in lines}, done.stderr


def serve_python(version: Path, signature: str, inputs: Mapping[str, Any], repeats: int) -> str:
    """Asks the same from Python, and says how fast that is."""
    begin = time.perf_counter()
    function = tf.saved_model.load(str(version)).signatures[signature]
    loaded = time.perf_counter()
    specs = function.structured_input_signature[1]
    given = {name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()}
    function(**given)
    warm = time.perf_counter()
    for _ in range(repeats):
        function(**given)
    call = (time.perf_counter() - warm) / repeats
    return f"load {(loaded - begin) * 1e3:.1f} ms\ncall {call * 1e3:.3f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", type=Path)
    parser.add_argument("signature")
    parser.add_argument("inputs", type=json.loads)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--build", type=Path, default=Path(), help="where the program is compiled")
    options = parser.parse_args()
    answer, speed = serve(
        compile_client(options.build), options.version, options.signature, options.inputs, options.repeats
    )
    for name, values in answer.items():
        print(f"{name}: {values[:10]}")
    print(f"C\n{speed.strip()}")
    print(f"Python\n{serve_python(options.version, options.signature, options.inputs, options.repeats)}")


if __name__ == "__main__":
    main()
