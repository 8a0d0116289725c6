"""Tools for developers: what `make check` and `make licences` run."""
