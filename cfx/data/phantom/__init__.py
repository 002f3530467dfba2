"""A digital chest phantom: patients whose every parameter is known, drawn as X-rays and written as CheXpert writes them."""
