"""SuRP for clients that keep nothing: unbiased estimates from rotated coordinates."""
