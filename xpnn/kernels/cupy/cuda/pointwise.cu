// A formula over elements, each of which is read and written once. The places of capitals in angle brackets are
// filled in from the formula (see expressions.py).

extern "C" __global__ void <NAME>(<PARAMETERS>, I size) {
    FOR_ALL(i, size) {
        <BODY>
    }
}
