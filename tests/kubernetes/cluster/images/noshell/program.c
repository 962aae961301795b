/* Alone in an image without a shell: tells its arguments, one a line. */
#include <stdio.h>

int main(int count, char **words) {
    for (int at = 1; at < count; at++) puts(words[at]);
    return 0;
}
