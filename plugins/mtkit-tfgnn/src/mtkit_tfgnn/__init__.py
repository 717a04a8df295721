"""Task graphs on TF-GNN for mtkit."""
