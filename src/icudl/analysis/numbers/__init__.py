"""The numbers behind figures and tables: each is computed here once, and page and paper draw the same ones."""
