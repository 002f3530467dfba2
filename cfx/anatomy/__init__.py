"""Heart and lungs: the segmenters and the masks they make."""
