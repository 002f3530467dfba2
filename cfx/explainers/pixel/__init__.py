"""Gradient descent on the pixels of the black box: the rival that needs no training and explains nothing."""
