"""Case files on the command line: written by `predict --case`, checked by `case verify`."""
