"""ResNet50 backbones: registry, weights, preprocessing, encoders, fingerprints."""
