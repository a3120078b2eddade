"""All that knows Flower: the client mod and its state, records, the keys that go over the wire."""
