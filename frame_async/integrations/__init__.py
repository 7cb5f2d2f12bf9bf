"""frame_async where it is used: web frameworks, traces and metrics.

Each module is imported by its name and needs the extra of the same name; importing the
library never imports one of them.
"""
