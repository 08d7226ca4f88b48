/* The lines with a literal in them: the search of `lines.py`, which says what it is for, in C.
 *
 * Two octets of each literal, those that logs have least, are compared at 256 places at once (the
 * compiler makes a few vector instructions of the loop), so one pass over memory serves all
 * literals. Python's limited API, so that one build serves all versions from 3.11 on.
 */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define STEP 256
#define LITERALS 256

/* Where the loader can choose: the same code for machines with wider vectors. */
#if defined(__x86_64__) && defined(__GLIBC__)
#define FOR_MANY_MACHINES __attribute__((target_clones("avx2", "default")))
#else
#define FOR_MANY_MACHINES
#endif

typedef struct {
    const uint8_t *text;
    Py_ssize_t size, first, second;
} Literal;

/* How common an octet is in logs: what is not named here is rare. */
static Py_ssize_t common(uint8_t octet)
{
    static const char order[] = "=]-_:.[CDAM,f3654789bphugm02dlcnsrioate1 ";
    const char *at = octet ? strchr(order, octet) : NULL;
    return at ? at - order + 1 : 0;
}

/* The rarest octet and the next: the same one twice where the literal has no other. */
static void choose(Literal *literal)
{
    literal->first = literal->second = 0;
    for (Py_ssize_t at = 1; at < literal->size; at++)
        if (common(literal->text[at]) < common(literal->text[literal->first]))
            literal->first = at;
    if (literal->size > 1)
        literal->second = literal->first == 0;
    for (Py_ssize_t at = 0; at < literal->size; at++)
        if (at != literal->first &&
            common(literal->text[at]) < common(literal->text[literal->second]))
            literal->second = at;
}

FOR_MANY_MACHINES static int maybe(const uint8_t *data, const Literal *literal)
{
    const uint8_t *one = data + literal->first, *two = data + literal->second;
    const uint8_t first = literal->text[literal->first], second = literal->text[literal->second];
    uint8_t found = 0;
    for (int at = 0; at < STEP; at++)
        found |= (uint8_t)((one[at] == first) & (two[at] == second));
    return found;
}

/* Where, from `data` on and before `stop`, the literal begins that ends by `end`; else `stop`. */
static const uint8_t *place(const uint8_t *data, const uint8_t *stop, const uint8_t *end,
                            const Literal *literal)
{
    Py_ssize_t places = end - data - literal->size + 1;
    if (places > stop - data)
        places = stop - data;
    for (Py_ssize_t at = 0; at < places; at++) {
        const uint8_t *from = data + at + literal->first;
        const uint8_t *found = memchr(from, literal->text[literal->first], (size_t)(places - at));
        if (found == NULL)
            break;
        at += found - from;
        if (memcmp(data + at, literal->text, (size_t)literal->size) == 0)
            return data + at;
    }
    return stop;
}

/* Where the first of the literals stands; `end` where none does. */
static const uint8_t *search(const uint8_t *data, const uint8_t *end, const Literal *literals,
                             Py_ssize_t count, Py_ssize_t longest)
{
    while (data < end) {
        int whole = end - data >= STEP + longest;
        const uint8_t *stop = whole ? data + STEP : end, *first = stop;
        for (Py_ssize_t each = 0; each < count; each++)
            if (!whole || maybe(data, &literals[each]))
                first = place(data, first, end, &literals[each]);
        if (first < stop)
            return first;
        data = stop;
    }
    return end;
}

/* The first separator that begins from `data` on; `end` where none does. */
static const uint8_t *separator(const uint8_t *data, const uint8_t *end, const Literal *mark)
{
    while (data <= end - mark->size) {
        data = memchr(data, mark->text[0], (size_t)(end - data));
        if (data == NULL || data > end - mark->size)
            break;
        if (memcmp(data, mark->text, (size_t)mark->size) == 0)
            return data;
        data++;
    }
    return end;
}

/* Where the line begins that has `at` in it; none begins before `start`. */
static const uint8_t *begin(const uint8_t *start, const uint8_t *at, const Literal *mark)
{
    for (Py_ssize_t last = at - start; last >= mark->size; last--)
        if (memcmp(start + last - mark->size, mark->text, (size_t)mark->size) == 0)
            return start + last;
    return start;
}

static int append(PyObject *list, Py_ssize_t start, Py_ssize_t end)
{
    PyObject *line = Py_BuildValue("nn", start, end);
    int failed = line == NULL || PyList_Append(list, line) < 0;
    Py_XDECREF(line);
    return failed;
}

static PyObject *matching(const uint8_t *data, const uint8_t *start, const uint8_t *end,
                          const Literal *literals, Py_ssize_t count, const Literal *mark)
{
    PyObject *found = PyList_New(0);
    Py_ssize_t longest = 0;
    for (Py_ssize_t each = 0; each < count; each++)
        if (literals[each].size > longest)
            longest = literals[each].size;
    while (found != NULL && start < end) {
        const uint8_t *at = search(start, end, literals, count, longest), *line, *stop;
        if (at == end)
            break;
        line = begin(start, at, mark);
        stop = separator(at, end, mark);
        if (append(found, line - data, stop - data))
            Py_CLEAR(found);
        start = end - stop < mark->size ? end : stop + mark->size;
    }
    return found;
}

/* Octets, as they are held while `object` is; false, and an error, where they are none. */
static int octets(PyObject *object, Literal *literal)
{
    char *text;
    if (object == NULL || PyBytes_AsStringAndSize(object, &text, &literal->size) < 0)
        return 0;
    literal->text = (const uint8_t *)text;
    if (literal->size == 0)
        PyErr_SetString(PyExc_ValueError, "an empty literal");
    else
        choose(literal);
    return literal->size != 0;
}

static PyObject *lines(PyObject *self, PyObject *args)
{
    PyObject *held, *tuple, *mark;
    Literal data, separators, literals[LITERALS];
    Py_ssize_t start, end, count;
    char *text;
    (void)self;
    if (!PyArg_ParseTuple(args, "OnnOO", &held, &start, &end, &tuple, &mark) ||
        PyBytes_AsStringAndSize(held, &text, &data.size) < 0 || !octets(mark, &separators))
        return NULL;
    data.text = (const uint8_t *)text;
    count = PyTuple_Size(tuple);
    if (count < 0)
        return NULL;
    if (start < 0 || start > end || end > data.size || count > LITERALS) {
        PyErr_SetString(PyExc_ValueError, "not as large as was said");
        return NULL;
    }
    for (Py_ssize_t each = 0; each < count; each++)
        if (!octets(PyTuple_GetItem(tuple, each), &literals[each]))
            return NULL;
    return matching(data.text, data.text + start, data.text + end, literals, count, &separators);
}

static PyMethodDef methods[] = {
    {"lines", lines, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_lines", .m_methods = methods};

PyMODINIT_FUNC PyInit__lines(void) { return PyModuleDef_Init(&module); }
