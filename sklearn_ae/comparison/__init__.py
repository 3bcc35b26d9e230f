"""The command line: PCA and the autoencoders on one table, compared, judged, printed, drawn."""
