"""A digital chest phantom: patients whose every parameter is known, drawn as X-rays, written in CheXpert's layout."""
