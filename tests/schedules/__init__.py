"""
Explores the thread schedules of a dying connection, systematically, with frontrun.

The yardstick is the same release with upstream's two-line fix put into its source: with the shim,
every outcome that one shows must be shown by the other, and nothing else. Nor may there be one
that the first fixed release, 14.2, doesn't show. All of them are computed in the same run.

"""
