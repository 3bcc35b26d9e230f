"""What 10^7 to 10^9 rows would take, counted from parts that are measured here.

    python benchmarks/growth_model.py [--reduce 1.25e9] [--latency 5e-5] [--gpu 1.5e13]

A step of a batch takes a constant and a time a row, from two batches of one process with one
thread. A reduction over k processes sends 2 (k - 1) / k times the gradients through a network of
--reduce bytes a second (10 Gbit/s), and waits --latency seconds for each of 2 log2 k messages. The
GPU is counted, not measured: 60 kernels of 5 microseconds a step, and --gpu operations a second.
Seconds are those of an epoch; a fit takes a handful, and about one more before and after.
"""

import argparse
import math

from processes import run
from report import print_versions

LAUNCHES, LAUNCH = 60, 5e-6
MEASURED = 128, 8192


def measure(columns: int, rows: int) -> tuple[float, float, float]:
    """Return the constant of a step, the seconds a row, and the bytes of all gradients."""
    small, large = (run(1, rows, columns, batch) for batch in MEASURED)
    a_row = (large["step"] - small["step"]) / (MEASURED[1] - MEASURED[0])
    constant = max(small["step"] - MEASURED[0] * a_row, 0.0)
    return constant, a_row, small["megabytes"] * 2**20


def main() -> None:
    """Measure the parts, and print a line for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reduce", type=float, default=1.25e9, help="bytes a second")
    parser.add_argument("--latency", type=float, default=5e-5, help="seconds a message")
    parser.add_argument("--gpu", type=float, default=1.5e13, help="operations a second")
    args = parser.parse_args()
    print_versions()
    for columns, rows in ((100, 100_000), (1_000, 40_000)):
        constant, a_row, gradients = measure(columns, rows)
        print(
            f"\n{columns} columns: a step {1e3 * constant:.2f} ms and {1e6 * a_row:.2f} us a row, "
            f"{gradients / 1e6:.2f} MB of gradients"
        )
        print("    rows       GB   batch   1 process      8 (reducing)      64 (reducing)     GPU")
        # An operation for each weight, forwards, and two backwards; prefixes double them.
        operations = 2 * 3 * 2 * gradients / 4
        for n_rows in (10**7, 10**8, 10**9):
            for batch in (128, 8192, 65_536):
                found = []
                for k in (1, 8, 64):
                    step = constant + a_row * batch / k
                    sent = 2 * (k - 1) / k * gradients / args.reduce
                    reducing = (sent + 2 * math.log2(k) * args.latency) if k > 1 else 0.0
                    share = reducing / (step + reducing)
                    seconds = n_rows / batch * (step + reducing)
                    found.append(f"{seconds:9,.0f} s" + (f" ({share:4.0%})" if k > 1 else ""))
                gpu = n_rows / batch * max(LAUNCHES * LAUNCH, batch * operations / args.gpu)
                gigabytes = 4e-9 * n_rows * columns
                print(
                    f"{n_rows:13,} {gigabytes:7,.0f} {batch:7,} {found[0]:>12} {found[1]:>18}"
                    f" {found[2]:>18} {gpu:7,.0f} s"
                )


if __name__ == "__main__":
    main()
