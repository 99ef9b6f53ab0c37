"""Where weights come from and go: the hub, single files on top of a model, and away again.

Whatever is installed is made aside and renamed into place when it is whole, so that nothing half-installed is ever seen.
"""
