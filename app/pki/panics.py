"""What a certificate library may throw beyond its documented errors, and what may not be caught."""


def is_fault_of_input(problem: BaseException) -> bool:
    """Whether `problem` came from what was parsed, not from the process being asked to stop.

    A Rust panic inside `cryptography` arrives as ``pyo3_runtime.PanicException``: a BaseException
    that cannot be imported to be named. A certificate must not be able to end a worker with one,
    while KeyboardInterrupt, SystemExit and cancellation must pass. So must MemoryError: it says
    nothing about the certificate, and a verdict on a certificate may be remembered.
    """
    if isinstance(problem, MemoryError):
        return False
    return isinstance(problem, Exception) or type(problem).__name__ == "PanicException"
