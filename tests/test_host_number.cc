/* links: dicom config
 * DCMTK's UIDs are made without asking the network who this host is: its gethostid is ours.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "dicom/dicom.h"

#include <dcmtk/config/osconfig.h>

#include <dcmtk/dcmdata/dcuid.h>
#include <dlfcn.h>
#include <string>
#include <unistd.h>

TEST(the_number_of_the_host_is_the_processs_own)
{
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    REQUIRE(libc);
    CHECK(dlsym(libc, "gethostid") != nullptr && dlsym(libc, "gethostid") != (void *)&gethostid);
    CHECK(dlsym(RTLD_DEFAULT, "gethostid") == (void *)&gethostid); /* what libdcmdata is given */
    CHECK(gethostid() != 0 && gethostid() == gethostid());
    dlclose(libc);
}

TEST(dcmtk_makes_its_uids_of_it)
{
    char first[100], second[100];
    cot_dicom_init();
    dcmGenerateUniqueIdentifier(first, SITE_INSTANCE_UID_ROOT);
    dcmGenerateUniqueIdentifier(second, SITE_INSTANCE_UID_ROOT);
    const std::string number = "." + std::to_string((unsigned long)gethostid()) + ".";
    CHECK(std::string(first).find(number) != std::string::npos);
    CHECK(std::string(first) != second);
}
CHECK_MAIN
