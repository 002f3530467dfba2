"""xGEM: gradient descent in the latent space of a variational autoencoder."""
