"""From pending points to stored vectors: encode, store, acknowledge, compare, and change the model."""
