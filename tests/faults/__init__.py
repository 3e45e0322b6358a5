"""
Breaks real connections in every way a network has, and compares what comes out.

Each is compared with the reference of its bug, a release that ends like that or what websockets'
documentation says, and with upstream's cures put into the source of the same release: exception,
close codes, cause, final state, threads and file descriptors left over.

"""
