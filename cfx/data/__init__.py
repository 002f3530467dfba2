"""Chest X-ray data sets behind one data module: files to tensors, labels, masks, splits."""
