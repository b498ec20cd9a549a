/* The function that does nothing: what remains of a request is the price of the server itself. */
int main(void)
{
	return 0;
}
