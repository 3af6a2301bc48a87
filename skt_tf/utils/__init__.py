"""Python, the machine and TensorFlow's process; knows no image, network or method."""
