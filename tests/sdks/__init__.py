"""
The shim beside the SDKs that people run, each in an environment of its own.

``nox -s sdks`` runs this package, ``nox -s quick_sdks`` a part of it. Each SDK is driven through
its public API against a server on 127.0.0.1, by a program in ``drivers/`` that knows nothing of the
shim.

"""
