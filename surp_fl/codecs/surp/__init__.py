"""SuRP: rate–distortion selection, index sets, a range coder; the default scheme."""
