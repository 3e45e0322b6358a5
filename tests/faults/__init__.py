"""
Breaks real connections in every way a network has, and compares what comes out.

The yardstick is the first fixed release, 14.2, and the same release with upstream's fix put into
its source: exception, close codes, cause, final state, threads and file descriptors left over.

"""
