"""Ways to set up a PyTorch process and to run a network in it."""
import subprocess

MODES = ("train", "eval")
# Big blocks stay with the process, which otherwise faults them in each step.
GLIBC = ("glibc.malloc.mmap_threshold=8589934592:"
         "glibc.malloc.trim_threshold=17179869184:"
         "glibc.malloc.top_pad=1073741824")
LARGE_PAGES = {"GLIBC_TUNABLES": GLIBC + ":glibc.malloc.hugetlb=1",
               "THP_MEM_ALLOC_ENABLE": "1"}
KEEP_PAGES = "dirty_decay_ms:-1,muzzy_decay_ms:-1,oversize_threshold:0"


def find_library(name):
    """Path of a shared library, or None."""
    try:
        listing = subprocess.run(["ldconfig", "-p"], text=True, check=True,
                                 capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    paths = [line.split("=> ")[1] for line in listing.splitlines()
             if line.strip().startswith(name) and "=> " in line]
    return paths[0] if paths else None


def environments(is_quick):
    """Ways to set up a process: name, and its environment or None where this
    machine lacks what it needs."""
    found = {
        "default": {},
        "malloc": {"GLIBC_TUNABLES": GLIBC},
        "malloc, large pages": LARGE_PAGES,
        "malloc, large pages, passive": {
            **LARGE_PAGES, "OMP_WAIT_POLICY": "passive"},
    }
    if is_quick:
        return found
    found["malloc, large pages, bound"] = {
        **LARGE_PAGES, "OMP_PROC_BIND": "true"}
    for name, library, extra in (
            ("jemalloc", "libjemalloc.so", {"MALLOC_CONF": KEEP_PAGES}),
            ("tcmalloc", "libtcmalloc_minimal.so", {})):
        path = find_library(library)
        found[name] = {"LD_PRELOAD": path, **extra} if path else None
    return found


def options(mode, is_quick):
    """Ways to run a network; the first is that of the first stage."""
    def way(layout, dtype, how="eager", fold=mode == "eval"):
        return {"mode": mode, "layout": layout, "dtype": dtype, "how": how,
                "fold": fold}
    ways = [way("channels_last", "float32"),
            way("channels_last", "autocast"),
            way("channels_last", "bf16-products")]
    if mode == "eval":
        ways += [way("channels_last", "bfloat16"),
                 way("channels_last", "float32", "jit"),
                 way("channels_last", "bfloat16", "jit")]
    if is_quick:
        return ways
    ways.append(way("nchw", "float32"))
    if mode == "eval":
        ways += [way("channels_last", "float32", fold=False),
                 way("channels_last", "float32", "compile"),
                 way("channels_last", "bfloat16", "compile")]
    else:
        ways += [way("channels_last", "float32", "compile"),
                 way("channels_last", "autocast", "compile")]
    return ways


def describe(way):
    words = [way["layout"], way["dtype"], way["how"]]
    if way["mode"] == "eval":
        words.append("folded" if way["fold"] else "unfolded")
    return " ".join(words)


def width_of(way):
    """The column a way counts for: float32, or narrower products."""
    return "float32" if way["dtype"] == "float32" else "bfloat16"
