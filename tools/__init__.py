"""Tools behind `make check` and `make licences`."""
