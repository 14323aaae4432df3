"""The feature store: keys, shards, the feature set. Only `shard` knows HDF5."""
