"""BERT-family text encoders for mtkit."""
