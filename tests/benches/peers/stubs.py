"""Writes empty stand-ins for the CUDA libraries that PyTorch's wheel names and a CPU never calls.

PyTorch for x86-64 comes from the package index only with CUDA, whose libraries are 3 GB. Usage:
stubs.py TORCH_LIB_DIR OUT_DIR, then LD_LIBRARY_PATH=OUT_DIR.
"""

import pathlib
import re
import subprocess
import sys

torch_dir, out_dir = map(pathlib.Path, sys.argv[1:])
out_dir.mkdir(parents=True, exist_ok=True)


def lines(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


libraries = sorted(torch_dir.glob("*.so*"))
own = {library.name for library in libraries}
cuda = re.compile(r"lib(cu|nccl|nvrtc|nvshmem)")
needed, file_of, versioned, plain, given = set(), {}, {}, set(), set()
for library in libraries:
    needed.update(re.findall(r"NEEDED.*\[(.*)\]", "\n".join(lines("readelf", "-d", library))))
    for line in lines("readelf", "-W", "-V", library):
        if found := re.search(r"File: (\S+)", line):
            file = found[1]
        elif found := re.search(r"Name: (\S+)", line):
            file_of.setdefault(found[1], file)
    given.update(line.split()[-1].split("@")[0] for line in lines("nm", "-D", "--defined-only", library))
    for line in lines("nm", "-D", "--undefined-only", library):
        name, _, version = line.split()[-1].replace("@@", "@").partition("@")
        if version:
            versioned.setdefault(version, set()).add(name)
        elif re.match(r"(cu|nccl|nvrtc|nvshmem)[A-Za-z_]", name):
            plain.add(name)
wanted = {name for name in needed if cuda.match(name) and name not in own}
for name in sorted(wanted):
    nodes = {version: versioned[version] for version in versioned if file_of.get(version) == name}
    symbols = set().union(*nodes.values())
    if name.startswith("libcudart"):
        symbols |= plain - given
    source = "".join(f"const char *{symbol}(void) {{ return \"no CUDA here\"; }}\n" for symbol in sorted(symbols))
    flags = [f"-Wl,-soname,{name}"]
    if nodes:
        script = out_dir / "versions"
        blocks = (f"{v} {{ global: {' '.join(f'{s};' for s in sorted(nodes[v]))} }};\n" for v in nodes)
        script.write_text("".join(blocks))
        flags.append(f"-Wl,--version-script={script}")
    compiler = ["gcc", "-w", "-shared", "-fPIC", "-x", "c", "-", "-o", out_dir / name, *flags]
    subprocess.run(compiler, input=source, text=True, check=True)
print(f"{len(wanted)} stand-ins in {out_dir}")
