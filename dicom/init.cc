/* Once per process: codecs and log. DCMTK's messages may quote data sets, so a line of ours says which module complained
 * and where in its source; the message itself is kept only for the network module, without its quoted parts. No
 * configuration file or environment variable decides about logging. A file full of faults cannot flood the log: at most
 * LINES_PER_WINDOW lines a minute. Threads: any. SPDX-License-Identifier: Apache-2.0 */
#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dcdict.h"
#include "dcmtk/dcmdata/dcrledrg.h"
#include "dcmtk/dcmjpeg/djdecode.h"
#include "dcmtk/dcmjpls/djdecode.h"
#include "dcmtk/dcmnet/dul.h"
#include "dcmtk/oflog/oflog.h"
#include "dcmtk/oflog/spi/logevent.h"
#include "dicom/dicom.h"
#include "dicom/translate.h"
#include <cstring>
#include <ctime>
#include <mutex>
#include <string>
#include <sys/random.h>
#include <unistd.h>

namespace
{
namespace log4cplus = dcmtk::log4cplus;

/* 'quoted' and "quoted" parts are what DCMTK copies from peers and files. */
std::string without_quotes(const char *message)
{
    std::string out;
    char open = 0;
    for (const char *p = message; *p && out.size() < 200; p++) {
        if (open) {
            if (*p == open) open = 0;
        } else if (*p == '\'' || *p == '"') {
            open = *p;
            out += "...";
        } else
            out += *p;
    }
    return out;
}

thread_local unsigned long damage;

/* libjpeg's warnings of lost picture data; bytes too many before a marker are harmless and common. */
bool tells_damage(const char *module, const char *message)
{
    static const char *const words[] = {"remature end", "bad Huffman", "bad arithmetic", "instead of RST",
                                        "rogression"};
    if (!std::strstr(module, "dcmjp")) return false;
    for (const char *word : words)
        if (std::strstr(message, word)) return true;
    return false;
}

class log_appender : public log4cplus::Appender
{
  public:
    ~log_appender() override { destructorImpl(); }
    void close() override {}

  protected:
    void append(const log4cplus::spi::InternalLoggingEvent &event) override
    {
        if (tells_damage(event.getLoggerName().c_str(), event.getMessage().c_str())) damage++;
        if (!line_allowed()) return;
        const char *module = event.getLoggerName().c_str(), *file = event.getFile().c_str();
        const char *slash = std::strrchr(file, '/');
        const cot_level level = event.getLogLevel() >= log4cplus::ERROR_LOG_LEVEL ? COT_WARN : COT_DEBUG;
        const bool network = std::strstr(module, "dcmnet") != nullptr;
        const std::string text = network ? without_quotes(event.getMessage().c_str()) : std::string();
        const char *at = slash ? slash + 1 : file;
        if (network)
            cot_log(level, "dcmtk", nullptr, "module=%s at=%s:%d text=\"%s\"", module, at, event.getLine(),
                    text.c_str());
        else
            cot_log(level, "dcmtk", nullptr, "module=%s at=%s:%d", module, at, event.getLine());
    }

  private:
    enum { LINES_PER_WINDOW = 30, WINDOW_S = 60 };
    std::time_t window = 0;
    int lines = 0;

    bool line_allowed() /* the base class holds its lock around append */
    {
        const std::time_t now = std::time(nullptr);
        if (now - window >= WINDOW_S) {
            window = now;
            lines = 0;
        }
        return ++lines <= LINES_PER_WINDOW;
    }
};

void initialise()
{
    OFLog::configure(OFLogger::WARN_LOG_LEVEL);
    log4cplus::Logger root = log4cplus::Logger::getRoot();
    root.removeAllAppenders();
    root.addAppender(log4cplus::SharedAppenderPtr(new log_appender));
    root.setLogLevel(OFLogger::WARN_LOG_LEVEL);
    DJDecoderRegistration::registerCodecs();
    DJLSDecoderRegistration::registerCodecs();
    DcmRLEDecoderRegistration::registerCodecs();
    (void)dcmDataDict.isDictionaryLoaded(); /* loads it: 20 ms once, before the processes that fork for each object */
    dcmDisableGethostbyaddr.set(OFTrue);    /* no reverse name service in the way of an association */
}
} // namespace

unsigned long codec_damage(void)
{
    return damage;
}

extern "C" void cot_dicom_init(void)
{
    static std::once_flag once;
    try {
        std::call_once(once, initialise);
    } catch (...) {
        cot_log(COT_ERROR_LEVEL, "dicom.init", nullptr, "text=\"DCMTK could not be initialised: out of memory?\"");
    }
}

/* DCMTK asks for the host's number with every UID that it makes up. glibc makes that number of the host's address, by DNS
 * where /etc/hosts has none, and where DNS has none either DCMTK asks each time anew: tens of milliseconds a report, and
 * questions to the network from a process that must have none. Linked here, this answer is the one that DCMTK gets: a
 * number of the process. What we send has UIDs of our own (uid.c). */
extern "C" __attribute__((visibility("default"))) long gethostid(void) noexcept
{
    static const long number = [] {
        unsigned int n = 0;
        if (getrandom(&n, sizeof n, GRND_NONBLOCK) != (ssize_t)sizeof n) n = (unsigned int)getpid();
        return (long)(n | 1); /* 0 would be asked again */
    }();
    return number;
}
