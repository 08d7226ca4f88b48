/* Past the packets that nobody wants: the loop of `past.py`, which says what it is for, in C.
 *
 * It looks at a record's length, its EtherType and the ports of TCP over IPv4 or IPv6 without
 * extension headers, and stops at whatever is wanted or is anything else. No octet at or behind
 * `end + SLACK` is read; the caller says that those before it are there. Python's limited API, so
 * that one build serves all versions from 3.11 on.
 */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#define SLACK 80
#define MAX_RECORD (1u << 24)
#define PORTS 8192
#define INTERFACES 32

static uint32_t two(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

static uint32_t four(const uint8_t *at, int big)
{
    return big ? two(at) << 16 | two(at + 2)
               : (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

static int either(const uint8_t *ports, const uint8_t *at)
{
    uint32_t source = two(at), target = two(at + 2);
    return (ports[source >> 3] >> (source & 7) | ports[target >> 3] >> (target & 7)) & 1;
}

/* Whether somebody may want the packet whose EtherType is at `kind`. */
static int wanted(const uint8_t *kind, const uint8_t *ports)
{
    const uint8_t *ip = kind + 2;
    if (two(kind) == 0x0800 && ip[0] == 0x45)
        return ip[9] == 6 && ((two(ip + 6) & 0xBFFF) || either(ports, ip + 20));
    if (two(kind) == 0x86DD)
        return ip[6] == 6 ? either(ports, ip + 40) : ip[6] != 17 && ip[6] != 58;
    return 1;
}

typedef struct {
    Py_buffer data, ports, numbers;
    Py_ssize_t at, end, kind;
    int big;
} Walk;

static void release(Walk *walk)
{
    PyBuffer_Release(&walk->data);
    PyBuffer_Release(&walk->ports);
    if (walk->numbers.obj != NULL)
        PyBuffer_Release(&walk->numbers);
}

/* Whether the arguments keep their promises. */
static int sound(const Walk *walk)
{
    if (walk->at >= 0 && walk->kind >= 0 && walk->kind <= 14 && walk->ports.len == PORTS &&
        walk->end <= walk->data.len - SLACK &&
        (walk->numbers.obj == NULL || walk->numbers.len == INTERFACES))
        return 1;
    PyErr_SetString(PyExc_ValueError, "the buffers are not as large as was said");
    return 0;
}

static PyObject *pcap(PyObject *self, PyObject *args)
{
    Walk walk = {0};
    Py_ssize_t count = 0, at;
    PyObject *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*nnnpy*", &walk.data, &walk.at, &walk.end, &walk.kind, &walk.big,
                          &walk.ports))
        return NULL;
    if (sound(&walk)) {
        const uint8_t *data = walk.data.buf, *ports = walk.ports.buf;
        for (at = walk.at; at <= walk.end - 16; count++) {
            uint32_t length = four(data + at + 8, walk.big);
            if (length > MAX_RECORD || wanted(data + at + 16 + walk.kind, ports))
                break;
            at += 16 + (Py_ssize_t)length;
        }
        result = Py_BuildValue("nn", at, count);
    }
    release(&walk);
    return result;
}

static PyObject *pcapng(PyObject *self, PyObject *args)
{
    Walk walk = {0};
    Py_ssize_t count = 0, at;
    PyObject *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*nnnpy*y*", &walk.data, &walk.at, &walk.end, &walk.kind,
                          &walk.big, &walk.ports, &walk.numbers))
        return NULL;
    if (sound(&walk)) {
        const uint8_t *data = walk.data.buf, *ports = walk.ports.buf, *numbers = walk.numbers.buf;
        for (at = walk.at; at <= walk.end - 12; count++) {
            const uint8_t *block = data + at;
            uint32_t length = four(block + 4, walk.big), number = four(block + 8, walk.big);
            if (four(block, walk.big) != 6 || number >= INTERFACES * 8 ||
                !(numbers[number >> 3] >> (number & 7) & 1) || length < 32 || length % 4 ||
                length > MAX_RECORD || wanted(block + 28 + walk.kind, ports))
                break;
            at += (Py_ssize_t)length;
        }
        result = Py_BuildValue("nn", at, count);
    }
    release(&walk);
    return result;
}

static PyMethodDef methods[] = {
    {"pcap", pcap, METH_VARARGS, NULL},
    {"pcapng", pcapng, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_past", .m_methods = methods};

PyMODINIT_FUNC PyInit__past(void) { return PyModuleDef_Init(&module); }
