"""What a trained model recalls: losses by role, bits, question answering, quantized copies."""
