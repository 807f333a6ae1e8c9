"""What runs inside a sandbox.

The host does not import these modules: their text goes through the link to a Python that waits for
it. They use the standard library only and work with Python 3.9.

A job is two processes. The first, the job's init, sets up namespaces and collects what the second
leaves behind; the second gives up its rights and becomes the program. What a job is to do stands in
a file descriptor that only the second process reads: the guest's memory, which later jobs
begin with, never holds a program, its input or a file.

Modes: "namespaces" (each job has its own processes, mounts and IPC; it cannot name anything else)
and "plain" (a container, or no isolation at all: jobs are children, found by their ancestry).
"""
