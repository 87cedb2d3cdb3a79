"""The parts of the site's pages that the build makes from the code. Nothing else imports this."""
