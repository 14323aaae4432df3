"""The feature store: keys, shards, the published feature set. Only `shard` knows HDF5."""
