"""
Explores the thread schedules of a dying connection, systematically, with frontrun.

The reference is the same release with upstream's cures put into its source: with the shim, every
outcome that one shows must be shown by the other, and nothing else. Nor may there be one that
neither they nor a clean release show. All of them are computed in the same run.

From 17.0 on the reader thread waits in select(), which needs more of a socket than this model has;
so the clean release is one before. Nor is the reader thread of the model started by websockets,
which leaves out sync.reader_start.

"""
