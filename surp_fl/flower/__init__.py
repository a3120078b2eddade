"""Everything that imports Flower on the client and on the wire: the mod, its state, records, protocol keys."""
