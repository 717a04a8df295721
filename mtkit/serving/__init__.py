"""What an export answers, and how it is written."""
