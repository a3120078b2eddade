"""SuRP, the default scheme: rate–distortion selection, index sets, a context model and a range coder."""
