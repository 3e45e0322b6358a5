"""What is published, built and tried as far as it can be without publishing: ``nox -s release``."""
