"""The papers' experiments: a teacher, students by every method, one folder."""
